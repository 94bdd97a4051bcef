"""What a study wrote, read back: leaderboard, report, best configuration, retraining."""

"""Results of studies: leaderboard, report, best configuration, retraining, evaluation."""

"""The report of a study, with its leaderboard (`segtune report`)."""

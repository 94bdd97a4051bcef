"""Jobs from the user's side: sent to a cluster, found again, looked after."""

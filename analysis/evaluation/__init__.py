"""Any trained model measured on any prepared data set (`segtune evaluate`)."""

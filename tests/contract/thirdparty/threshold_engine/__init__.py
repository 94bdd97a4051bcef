"""A third party's engine: learns one grey level by gradient descent."""

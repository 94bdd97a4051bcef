"""Raw annotations in, one prepared data set out, and the view of it an engine needs."""

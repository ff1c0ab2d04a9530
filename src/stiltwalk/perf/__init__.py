"""Speed-ups of training and prediction. Each can be removed by itself; none changes a result beyond rounding."""

"""XTREME's scores from files alone: label and prediction files -> metrics by language -> averages -> groups."""

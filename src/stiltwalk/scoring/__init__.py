"""XTREME's scoring, from label and prediction files alone: files -> metric per language -> averages -> groups."""

"""The rubric as a reward in other trainers' shapes, a small file each."""

import sys

# Before hypothesis, which pytest compiles in its own way, is imported: half the time of collecting
# the tests is compiling them. Done once, whatever the environment says.
sys.dont_write_bytecode = False

# The same targets as the Makefile where other tools expect just.

# generate code from proto/
proto:
    make proto

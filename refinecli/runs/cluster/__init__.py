"""The shards of a run on several processes or machines, by Ray; `driver` alone imports it."""

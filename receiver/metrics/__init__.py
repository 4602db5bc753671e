"""What is counted and measured: `definitions` name it, `instruments` hold it, `sheet` lets the processes of
one data directory add up, `questions` asks the database, `page` writes what Prometheus reads.

Counting is a few additions in plain dictionaries, because every webhook passes; everything else happens once
a second, or when somebody asks.
"""

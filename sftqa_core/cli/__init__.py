"""The command line: arguments become records, records go to the workflows that the pages use too."""

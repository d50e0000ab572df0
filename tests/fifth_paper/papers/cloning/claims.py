"""What the paper claims."""

from common.reporting.claims import Claim

EXPERT = ("expert", "cloning")
RANDOM = ("random", "cloning")

CLAIMS = [
    Claim("1, Table 1", "good data make good clones", "table1", ((EXPERT, RANDOM),), above=0),
    Claim("1, Table 1", "clones of experts are experts", "table1", ((EXPERT, None),), above=90),
]

"""`kvscen doctor`: what on this machine would spoil a measurement, and what to do about it.

A check is one small function over facts (kvscen.facts); it reads nothing itself. The lists of checks are in
kvscen.doctor.examine.
"""

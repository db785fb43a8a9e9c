"""What this machine says about itself: the one place that reads /proc and /sys.

environment.json, `kvscen doctor` and `kvscen plan --here` tell the same facts. They are read without being root; what
cannot be read is None. The root of the file system is a parameter, so that tests bring machines of their own.
"""

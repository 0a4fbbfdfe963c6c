"""The shop as people usually write it: five modules that call, read and lock one another. Made to be checked, not run.

A comment `# crosses: RULE` stands on every line that `preterite check` has to find, and `# fine: WHY` on every line that
looks like it and is in order. A number after the rule says that there is more than one finding on the line.
"""

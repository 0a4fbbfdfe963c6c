"""The shop as people usually write it: five modules that call, read and lock one another. Made to be checked, not run.

A comment `# violation: RULE` marks every line that `preterite check` must find; a number after the rule means several
findings on the line. `# fine: WHY` marks every line that resembles a violation and is none.
"""

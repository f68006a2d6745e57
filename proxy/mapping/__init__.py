"""The mapping language: YAML files that say how messages of one dialect become another's.

    json <- engine <- language <- compiler <- checks <- programs <- catalog

`language` is what a rule can ask and what it can do: how a file says it, and the closure that means
it. `compiler` makes a link of a whole file, once, at load; `engine` runs it, one mapping or a chain
of them, on whatever arrives, and knows nothing of the language.
`checks` proves mappings on their own examples and against their inverses; `catalog` checks a set of
files against each other and against the cohorts, and refuses the set whole if anything is wrong.
`programs` are what one client's messages and bodies go through.

One rule governs everything here: only what a rule names changes. `json` opens a message just so far
that its members' names are known; the value of each member stays the bytes that arrived. So big
integers, `1.10`, `1E2`, `-0` and escapes come out as they went in, and so does the order of the
keys.
"""

"""A campaign that looks for faults outside CI: odd files, arrays, texts, command lines, stores, threads, hub answers.

Each case is made from its kind, a seed and a number alone, runs in a process that may die, hang or grow, and is judged:
a right answer, a refusal in one line that says where, or a find, which is shrunk to the fewest odd things that show it.
`make torture` runs it; a kind of case is a module in `kinds`.
"""

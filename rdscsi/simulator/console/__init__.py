"""A clean-room interpreter of the RouterOS console language.

Knows words, values, operators and blocks; knows no menu's meaning. Menus come in through `tree.Grammar` (what parses)
and `evaluator.Device` (what runs). Start with `parser.parse_line`, then `evaluator.Interpreter`.
"""

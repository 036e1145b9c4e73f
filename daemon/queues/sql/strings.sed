# SPDX-License-Identifier: MIT
# SQL as strings of C, a line each.
s/[\\"]/\\&/g
s/.*/"&\\n"/

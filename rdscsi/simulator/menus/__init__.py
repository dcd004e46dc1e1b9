"""The appliance's menus: what `/disk/add`, `/file/print`, `/system/resource/get` … mean over the storage model.

`tree` says what parses in which version, `menu` is the common part of item lists, `printing` the looks of `print`.
"""

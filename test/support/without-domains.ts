// `--import` of .taprc. tap follows every promise of a process, to tell in which test an error was thrown that nobody
// caught. This takes a seventh of the processor time of the suite. Without it such an error ends the process, and the
// suite fails as well.
import asyncHooks, { type AsyncHook } from 'node:async_hooks'
import { syncBuiltinESMExports } from 'node:module'

const disabled: AsyncHook = { enable: () => disabled, disable: () => disabled }
asyncHooks.createHook = () => disabled
syncBuiltinESMExports()

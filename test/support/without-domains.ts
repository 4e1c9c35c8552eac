// `--import` of .taprc. tap follows every promise of a process, to tell in which test an error was thrown that nobody
// caught. This takes a seventh of the processor time of the suite. Without it such an error ends the process, and the
// suite fails as well.
import asyncHooks, { type AsyncHook } from 'node:async_hooks'
import { syncBuiltinESMExports } from 'node:module'

// The gate of coverage counts this file. tap calls `enable` and `disable` in some runs only, so they are left out.
/* c8 ignore start */
const disabled: AsyncHook = { enable: () => disabled, disable: () => disabled }
asyncHooks.createHook = () => disabled
/* c8 ignore stop */
syncBuiltinESMExports()

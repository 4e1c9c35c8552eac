import type { Command } from './command.ts'

// The load test is no part of what serves, so it is beside it.
const file = new URL('../../test/load/main.js', import.meta.url)

/** `rowkeeper load`: puts the built service under load, and measures it. */
const loaded: { default: Command } = await import(file.href)
export default loaded.default

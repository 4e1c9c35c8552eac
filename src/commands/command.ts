import { parseArgs } from 'node:util'
import { closest } from '../config/closest.ts'
import { ConfigError } from '../config/error.ts'

/** The options of a command: a flag, or one with a value. */
type Kinds = Record<string, 'boolean' | 'string'>

type Values<O extends Kinds> = { [Name in keyof O]?: O[Name] extends 'string' ? string : boolean }

/** A command of `rowkeeper`. */
export interface Command {
  /** What follows its name, as in `--sub USER [--minutes N]`. */
  synopsis: string
  /** What it does, in sentences of at most 120 columns. */
  about: string
  /** Reads what was given, and does it. Throws for what it does not know. */
  execute(name: string, given: string[]): Promise<void>
}

interface Definition<O extends Kinds> extends Pick<Command, 'synopsis' | 'about'> {
  options?: O
  /** How many arguments it takes besides its options: none by default, or one, which is required. */
  takes?: 1
  run(values: Values<O>, taken: string): Promise<void>
}

const OPTION = /^Unknown option '-+([^']+)'/

/** Reads the options of a command. */
function read<O extends Kinds>(name: string, given: string[], kinds: O, takes: number) {
  const see = `rowkeeper ${name} --help tells what it takes.`
  const options = Object.fromEntries(Object.entries(kinds).map(([option, type]) => [option, { type }]))
  try {
    const { values, positionals } = parseArgs({ args: given, options, allowPositionals: true })
    const [taken = ''] = positionals
    if (positionals.length === takes) return { values: values as Values<O>, taken }
  } catch (error) {
    const [, unknown] = OPTION.exec((error as Error).message) ?? []
    if (unknown === undefined) throw new ConfigError([`${(error as Error).message.replace(/\.?$/, '.')} ${see}`])
    const meant = closest(unknown, Object.keys(kinds))
    throw new ConfigError([`Unknown option --${unknown}.${meant === undefined ? '' : ` Is --${meant} meant?`} ${see}`])
  }
  throw new ConfigError([`rowkeeper ${name} takes ${takes === 0 ? 'no argument' : 'one argument'}. ${see}`])
}

/** Makes a command of what it takes and of what it does. */
export const command = <const O extends Kinds = Record<never, never>>({
  synopsis,
  about,
  options = {} as O,
  takes,
  run
}: Definition<O>): Command => ({
  synopsis,
  about,
  execute(name, given) {
    const { values, taken } = read(name, given, options, takes ?? 0)
    return run(values, taken)
  }
})

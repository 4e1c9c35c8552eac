#!/usr/bin/env node
import { closest } from '../config/closest.ts'
import { ConfigError } from '../config/error.ts'
import { version } from '../version.ts'
import type { Command } from './command.ts'
import { endWithShell } from './npm-shell.js'
import { EXIT_CODES, run, runCommand } from './run.ts'

/** The commands, each with what it does in a few words. One is loaded when it is asked for. */
const COMMANDS = new Map<string, [summary: string, load: () => Promise<{ default: Command }>]>(
  Object.entries({
    init: ['make a new project', () => import('./init.ts')],
    add: ['add a resource to the project', () => import('./add.ts')],
    dev: ['serve from the sources, and again when they change', () => import('./dev.ts')],
    build: ['compile a project in TypeScript to dist/', () => import('./build.ts')],
    start: ['serve', () => import('./start.ts')],
    generate: ['write the migration for what changed in the tables', () => import('./generate.ts')],
    migrate: ['apply the migrations to the database', () => import('./migrate.ts')],
    studio: ['open drizzle-kit studio on the database', () => import('./studio.ts')],
    token: ['print a token for development', () => import('./token.ts')],
    routes: ['list the routes', () => import('./routes.ts')],
    load: ['put the service under load, and measure it', () => import('./load.ts')],
    export: ['write all that a user owns', () => import('./export.ts')],
    purge: ['delete all that a user owns', () => import('./purge.ts')]
  })
)

const usage = () =>
  [
    'Usage: rowkeeper COMMAND [OPTION…]',
    '',
    ...[...COMMANDS].map(([name, [summary]]) => `  ${name.padEnd(10)}${summary}`),
    '',
    'rowkeeper COMMAND --help tells what a command does and what it takes. rowkeeper --version tells the version.',
    '',
    EXIT_CODES
  ].join('\n')

const [name = '--help', ...given] = process.argv.slice(2)
endWithShell()
if (name === '--help' || name === '-h' || name === 'help') console.log(usage())
else if (name === '--version') console.log(version)
else {
  await run(async () => {
    const [, load] = COMMANDS.get(name) ?? []
    if (load === undefined) {
      const meant = closest(name, [...COMMANDS.keys()])
      const hint = meant === undefined ? '' : ` Is ${meant} meant?`
      throw new ConfigError([`There is no command "${name}".${hint} rowkeeper --help lists the commands.`])
    }
    await runCommand(name, (await load()).default, given)
  })
}

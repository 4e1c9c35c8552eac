// What the programs of this folder share: the verdict, how statements end, and a client.
import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises'
import postgres from 'postgres'

/** The exit codes of a program. */
const GONE = 0
const EXISTS = 1
const NOT_RUN = 2

function notRun(error: unknown): never {
  console.error(error)
  process.exit(NOT_RUN)
}

let onCrash: (error: unknown) => void = notRun
process.on('uncaughtException', (error) => onCrash(error))

/** Runs a program and exits. `look` returns what shows the fault, or undefined when nothing does. */
export async function check(look: () => Promise<string | undefined>): Promise<never> {
  const seen = await look().catch(notRun)
  console.log(seen ?? 'nothing of the fault is seen')
  process.exit(seen === undefined ? GONE : EXISTS)
}

/** How a statement ends: `silence` stands for a statement that nobody answers. */
export const outcome = (answer: Promise<unknown>, ms = 1000): Promise<'answered' | 'failed' | 'silence'> =>
  Promise.race([
    answer.then(
      () => 'answered' as const,
      () => 'failed' as const
    ),
    sleep(ms, 'silence' as const)
  ])

/** As `outcome`, for a statement that may end the process: the error that would end it comes some turns later. */
export const outcomeOrCrash = (answer: Promise<unknown>): Promise<string> =>
  Promise.race([
    new Promise<string>((resolve) => {
      onCrash = (error) => resolve(`the process ends: ${error}`)
    }),
    outcome(answer).then(async (ended) => {
      for (let turns = 0; turns < 10; turns++) await turn()
      return ended
    })
  ])

/** A client with one connection, unless `options` say otherwise. */
export const client = (options: object): postgres.Sql =>
  postgres({ host: '127.0.0.1', user: 'postgres', database: 'postgres', max: 1, fetch_types: false, ...options })

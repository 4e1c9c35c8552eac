import { existsSync, readdirSync } from 'node:fs'
import t from 'tap'

/** The files of `npm test`. Those named `slow` take long or start programs, and `.ci/run` runs them. */
const TESTS = /(?<!\.slow)\.test\.js$/

/** The files of the tests below `folder`, but for folders that have a `suite.js` of their own. */
const filesIn = (folder: URL): URL[] =>
  readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const url = new URL(entry.isDirectory() ? `${entry.name}/` : entry.name, folder)
    if (entry.isDirectory()) return existsSync(new URL('suite.js', url)) ? [] : filesIn(url)
    return TESTS.test(entry.name) ? [url] : []
  })

/** Queues the tests of a file, and after them those of the next one. Their names are relative to `folder`. */
export function runFiles([file, ...others]: readonly URL[], folder: URL): void {
  if (file === undefined) return
  t.test(file.href.slice(folder.href.length), async () => {
    await import(file.href)
    runFiles(others, folder)
  })
}

/**
 * Runs the tests beside and below a module one after the other in this process. Starting a process, with the
 * application and the embedded engine, takes longer than most files.
 *
 * @param url that of the module
 */
export function runSuite(url: string): void {
  const folder = new URL('.', url)
  runFiles(filesIn(folder), folder)
}

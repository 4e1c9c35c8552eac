// `node build.js` makes `dist/` when its sources changed since it was made. `node build.js FILE [OPTION…]` then runs
// `dist/FILE` in this process.
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { buildProject } from './src/commands/build-project.js'
import { endWithShell } from './src/commands/npm-shell.js'

if (!(await buildProject())) process.exit(1)
const [file, ...options] = process.argv.slice(2)
if (file !== undefined) {
  const path = resolve('dist', file)
  process.argv = [process.execPath, path, ...options]
  endWithShell()
  await import(pathToFileURL(path).href)
}

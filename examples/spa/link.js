// Installs Rowkeeper here as `npm install rowkeeper` does in an app of its own: this repository is the package.
import { lstatSync, mkdirSync, symlinkSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

/** @param {string} name of a file, from here */
const path = (name) => fileURLToPath(new URL(name, import.meta.url))

mkdirSync(path('node_modules'), { recursive: true })
if (lstatSync(path('node_modules/rowkeeper'), { throwIfNoEntry: false }) === undefined) {
  // A junction needs no administrator on Windows, but a whole path.
  symlinkSync(path('../..'), path('node_modules/rowkeeper'), 'junction')
}

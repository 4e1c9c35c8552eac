// Serves the tables and the resources of this folder. An app in a repository of its own needs no such file: there
// `npx rowkeeper start` finds them, while here it finds those of the repository around it.
import { fileURLToPath } from 'node:url'
import { start } from 'rowkeeper'
import * as schema from './schema.js'

/** @param {string} name of a folder, from here */
const path = (name) => fileURLToPath(new URL(name, import.meta.url))

await start({
  schema,
  routes: path('routes'),
  migrations: path('drizzle'),
  info: { title: 'Tasks and notes', version: '1.0.0', license: 'MIT' }
})

import { defineConfig } from 'drizzle-kit'
import { loadConfig } from './src/config/config.ts'
import { embeddedFolder } from './src/config/database-url.ts'
import { RECORD } from './src/db/migrate.ts'

const { database } = loadConfig(process.env, 'database')
const folder = embeddedFolder(database.url)

export default defineConfig({
  dialect: 'postgresql',
  schema: './src/db/schema.ts',
  out: './drizzle',
  migrations: RECORD,
  ...(folder === undefined
    ? { dbCredentials: { url: database.url } }
    : { driver: 'pglite', dbCredentials: { url: folder } })
})

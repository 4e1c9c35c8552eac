import Fastify from 'fastify'
import type postgres from 'postgres'
import { openClient } from '../../src/db/client.ts'
import { grantsTo } from '../../src/db/row-security.ts'
import { loadProject, type Project } from '../../src/project.ts'

/** What the applications and the databases of the tests are made of. */
interface Setup {
  /** The project whose application is under test. */
  loadProject(): Promise<Project>
  /** Fills the folder of an embedded database before it is opened for the first time. */
  prepareFolder(folder: string): Promise<void>
  /** Adds to a migrated database of a server, of the name `name`, a role of this name and password with few rights. */
  prepareServer(client: postgres.Sql, name: string): Promise<void>
}

/** Whether this process runs a test that is TypeScript, so that it imports the sources of the project. */
const runsSources = /\.[cm]?ts$/.test(process.argv[1] ?? '')

/** Migrates an embedded database. An application would do it too, but its statements are held to their owner. */
async function migrateFolder(folder: string): Promise<void> {
  const { migrations } = await projectUnderTest()
  const options = { listenUrls: [], poolMax: 1, prepare: true, rls: false, statementTimeoutMs: 0 }
  const { close } = await openClient({ url: `pglite://${folder}`, ...options }, Fastify().log, migrations)
  await close()
}

let setup: Setup = {
  loadProject: () => loadProject(runsSources),
  prepareFolder: migrateFolder,
  async prepareServer(client, name) {
    await client.unsafe(`create role ${name} login password '${name}'; ${grantsTo(name)}`)
  }
}
let project: Promise<Project> | undefined

/** Replaces a part of the setup, before the first application is built. */
export function setUp(other: Partial<Setup>): void {
  setup = { ...setup, ...other }
}

export const setupOfProcess = (): Setup => setup

/** The project whose application is under test: that of the working directory unless `setUp` gives another. */
export function projectUnderTest(): Promise<Project> {
  project ??= setup.loadProject()
  return project
}

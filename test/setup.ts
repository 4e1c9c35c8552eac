import { rmSync } from 'node:fs'
import pino from 'pino'
import { connect } from '../src/db/connect.ts'
import { TEMPLATE } from './support/template.ts'

// Runs once, before the suite (.taprc): a migrated folder for each test process to copy, since making one takes
// seconds.
rmSync(TEMPLATE, { recursive: true, force: true })
const { close } = await connect(
  { url: `pglite://${TEMPLATE}`, poolMax: 1, prepare: true, rls: false, statementTimeoutMs: 0 },
  pino({ level: 'silent' })
)
await close()

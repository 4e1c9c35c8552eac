import pino from 'pino'
import t from 'tap'
import type { Owner } from '../../../src/auth/user.ts'
import { openDatabase } from '../../../src/db/open.ts'
import { type OwnedBy, ownedBy } from '../../../src/db/owned.ts'
import { uuidv7 } from '../../../src/http/uuid.ts'
import { Store } from '../../../src/resource/store.ts'
import { newUser, testConfig } from '../../support/app.ts'
import { foldersResource } from '../../support/papers.ts'
import { testTables } from '../../support/tables.ts'

const INSTANCES = 6
const ROUNDS = 200

t.test(
  'of creates with one id on several instances one is done, whatever is unique (issue 20)',
  { skip: process.env.TEST_DATABASE_URL === undefined && 'the embedded engine has one session' },
  async (t) => {
    const { database } = await testConfig()
    const stores = await Promise.all(
      Array.from({ length: INSTANCES }, async () => {
        const { prepare, transaction, close } = await openDatabase(database, pino({ level: 'silent' }))
        t.teardown(close)
        const owned: OwnedBy = (table, { recorded = false } = {}) => ownedBy(prepare, table, recorded)
        return new Store({ owned, transaction, tables: testTables }, foldersResource.declaration)
      })
    )
    const user = newUser() as Owner
    for (let round = 0; round < ROUNDS; round++) {
      const folder = { id: uuidv7(), name: `Folder ${round}` }
      // PostgreSQL sees that the id is taken in two steps. Between them it may see that the name is.
      const created = await Promise.all(stores.map((store) => store.create(user, folder)))
      t.equal(created.filter(({ isNew }) => isNew).length, 1)
      t.equal(new Set(created.map(({ json }) => json)).size, 1)
    }
  }
)

import { FeedStore } from '../../src/changes/feed.ts'
import { type OwnedBy, ownedBy } from '../../src/db/owned.ts'
import type { BuildOptions, Prepare } from '../../src/db/prepare.ts'
import { BUILDER, compile } from '../../src/db/statement.ts'
import { measureStored } from '../../src/db/storage-quota.ts'
import { idempotency } from '../../src/resource/idempotency.ts'
import { Store } from '../../src/resource/store.ts'
import { ownedTables } from './owned-tables.ts'
import samples from './samples.ts'
import { taskStore } from './tasks.ts'

/** The texts of all statements that the service prepares, in the form with these options. */
export function preparedTexts(options: BuildOptions): string[] {
  const texts = new Set<string>()
  const prepare: Prepare = (build) => {
    texts.add(compile(build(BUILDER, options)).text)
    return () => Promise.reject(new Error('It is not sent.'))
  }
  const owned: OwnedBy = (table, options) => ownedBy(prepare, table, options?.recorded)
  const database = { owned, transaction: () => Promise.reject(), tables: ownedTables }
  taskStore(owned)
  new Store(database, samples.declaration, 10)
  new FeedStore(owned)
  idempotency({ ...database, storage: { add() {} } })
  measureStored(prepare, ownedTables)
  return [...texts]
}

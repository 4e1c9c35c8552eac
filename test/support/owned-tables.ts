import { ownedTablesOf } from '../../src/db/owned-tables.ts'
import * as schema from '../../src/db/schema.ts'

/** The owned tables of this repository: a new resource is here by being exported from `src/db/schema.ts`. */
export const ownedTables = ownedTablesOf(schema)

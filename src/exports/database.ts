/** `app.owned` and `app.transaction`, for an application of your own (docs/single-plugins.md). */
export { default } from '../../plugins/database.ts'
export { answerError } from '../../plugins/problems.ts'
export { ownedTablesOf } from '../db/owned-tables.ts'
export { ownedTable } from '../db/tables.ts'

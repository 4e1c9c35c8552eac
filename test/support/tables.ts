import type { OwnedTable } from '../../src/db/owned.ts'
import { clips, folders, papers } from './papers.ts'
import { sampleStatus, samples } from './samples.ts'

/** The tables whose rows belong to users, in the databases of the tests only. */
export const testTables: OwnedTable[] = [samples, folders, papers, clips]

/** The same with what belongs to them, as a module of a team exports them. */
export const testSchema = { sampleStatus, samples, folders, papers, clips }

import { test } from 'node:test'
import { contractSuite } from 'rowkeeper/test'
import notes from '../routes/api/notes/index.ts'

contractSuite(test, notes)

import t from 'tap'
import tasks from '../../routes/api/tasks/index.ts'
import { contractSuite } from '../support/contract.ts'

// CI, where this runs on PostgreSQL too, has time for more random histories.
contractSuite(t, tasks, { runs: process.env.TEST_DATABASE_URL === undefined ? 20 : 80 })

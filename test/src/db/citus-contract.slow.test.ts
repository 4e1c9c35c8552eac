import t from 'tap'
import { contractSuite } from '../../support/contract.ts'
import { tasksResource } from '../../support/tasks.ts'

// As in citus.slow.test.ts.
process.env.TEST_DATABASE_SCRIPT = 'docs/citus.sql'

t.test('where triggers record the changes, tasks keep their contract', async (t) => {
  contractSuite(t, tasksResource, { runs: 20 })
  contractSuite(t, tasksResource, { env: { DATABASE_RLS: 'true' }, runs: 20 })
})

import t from 'tap'
import { contractSuite } from '../../support/contract.ts'
import samples from '../../support/samples.ts'
import { tasksResource } from '../../support/tasks.ts'

t.test('with row-level security the service does what it does without', async (t) => {
  for (const resource of [tasksResource, samples])
    contractSuite(t, resource, { env: { DATABASE_RLS: 'true' }, runs: 20 })
})

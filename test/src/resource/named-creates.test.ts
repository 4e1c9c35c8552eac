import t from 'tap'
import { uuidv7 } from '../../../src/http/uuid.ts'
import { asUser, build, newUser } from '../../support/app.ts'

t.test('a create that chooses its id is done in its place in a batch (issue 20)', async (t) => {
  const app = await build(t, { RATE_LIMIT_MAX: 'off' })
  const headers = asUser(newUser())
  const batch = (payload: object) => app.inject({ method: 'POST', url: '/api/tasks/batch', headers, payload })
  const task = { id: uuidv7(), title: 'Buy milk' }
  t.equal((await batch({ create: [task] })).statusCode, 200)

  const repeated = await batch({ create: [task], delete: [{ id: task.id }] })
  t.equal(repeated.statusCode, 200)
  t.match(repeated.json(), { created: [task], deleted: [task.id] })
  t.same((await app.inject({ url: '/api/tasks', headers })).json(), [], 'it is not created anew after the delete')
})

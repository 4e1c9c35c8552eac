import { newUser } from './application.ts'
import { asking, behind, listed, type Subject, serve, wallsOf } from './subject.ts'
import type { Suite } from './test.ts'

/** Holds a resource to the checks of its table, by items that do not hold them (`broken`). */
export function checksSuite(t: Suite, subject: Subject): void {
  const { declaration, broken, create, change } = subject
  const checks = [...declaration.constraints.values()].filter((one) => one.kind === 'check')
  for (const { members } of checks) {
    const name = String(members[0])
    const values = broken[name]
    if (values === undefined) throw new Error(`Give \`broken\` members by which the check "${name}" does not hold.`)
    for (const rls of wallsOf(subject)) {
      t.test(`${declaration.words.plural}: the check of ${name} holds, RLS ${rls} (issue 20)`, async (t) => {
        const { app, url } = await serve(t, behind(subject, rls))
        const ask = asking(app, url)
        const user = newUser()
        const { id } = (await ask(user, 'POST', '', create())).json()
        const before = await listed(ask, user)
        const bad = { ...create(), ...values }
        for (const [method, path, body, at] of [
          ['POST', '', bad, ''],
          ['PUT', `/${id}`, values, ''],
          ['PATCH', `/${id}`, { ...change(), ...values }, ''],
          ['POST', '/batch', { create: [create(), bad] }, '/create/1'],
          ['POST', '/batch', { create: [create()], update: [{ id, change: values }] }, '/update/0/change']
        ] as const) {
          const answer = await ask(user, method, path, body)
          const { status, code, errors } = answer.json()
          t.match({ status, code }, { status: 400, code: 'validation_failed' }, `${method} ${path}`)
          t.same(errors, [{ in: 'body', pointer: `${at}/${name}`, detail: 'is not allowed together with the others' }])
          t.equal(answer.headers['retry-after'], undefined)
        }
        t.same(await listed(ask, user), before, 'nothing is done')
      })
    }
  }
}

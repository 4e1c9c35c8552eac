import t from 'tap'
import { Deadline } from '../../../src/http/deadline.ts'
import { stopClock } from '../../support/timers.ts'

t.test('a deadline that expires stops the work in flight, once', async (t) => {
  const deadline = new Deadline(performance.now() + 4700)
  let stopped = 0
  deadline.cancel = () => stopped++
  t.equal(deadline.over, false)
  deadline.expire()
  deadline.expire()
  t.equal(deadline.over, true)
  t.equal(stopped, 1)
})

t.test('a request that was answered leaves the work in flight alone', async (t) => {
  const deadline = new Deadline(performance.now() + 4700)
  deadline.cancel = () => t.fail('it was stopped')
  deadline.close()
  deadline.expire()
  t.equal(deadline.over, true)
})

t.test('work that is done is not stopped', async (t) => {
  const deadline = new Deadline(performance.now() + 4700)
  deadline.cancel = () => t.fail('it was stopped')
  deadline.cancel = undefined
  deadline.expire()
  t.equal(deadline.over, true)
})

t.test('a deadline that has passed is over, also while its timer is held up', async (t) => {
  const advance = stopClock(t)
  const deadline = new Deadline(performance.now() + 4700)
  advance(4699)
  t.equal(deadline.over, false)
  advance(1)
  t.equal(deadline.over, true)
})

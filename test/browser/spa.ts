// Uses examples/spa as a user would, in Chromium. Its parts run as `npm start` runs them there, at three origins, with
// a real Better Auth server. Pictures go to `.data/spa`. `CHROMIUM` is the browser's path.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync } from 'node:fs'
import { createInterface } from 'node:readline'
import type { Page } from 'playwright-core'
import { launch } from './chromium.ts'

const PICTURES = '.data/spa'
const DESKTOP = { width: 1100, height: 780 }
const PHONE = { width: 360, height: 740 }

/** What is noted, the first one first. */
const NOTES = [
  'The wifi of the cabin: “fondue-4711”',
  'Basil wants sun, and water every other day. Not from above!',
  'Books to read:\n- The Periodic Table\n- A Pattern Language\n- The Summer Book',
  'Grandma’s plum cake: 250 g flour, 125 g butter, 60 g sugar, one egg. Half an hour in the cold, then a kilo of ' +
    'plums, and 40 minutes at 200 degrees. Cinnamon only at the end.',
  'Frame size of the bicycle: 56 cm',
  'Ask Ines about the piano'
]

/** The URL of one task. */
const TASK = /\/api\/tasks\/[0-9a-f-]{36}$/

const example = spawn('sh', ['-c', `"${process.execPath}" examples/spa/start.js; true`], {
  env: {
    // npm's shell does not pass on signals either.
    npm_lifecycle_event: 'example',
    // Vite would colour the address that is read below, where CI is set.
    ...{ WEB_PORT: '5273', AUTH_PORT: '4100', PORT: '3100', NO_COLOR: '1' },
    ...process.env,
    ...{ TOKEN_LIFETIME: '10s', JWT_CLOCK_TOLERANCE_SECONDS: '0' },
    ...{ RATE_LIMIT_MAX: '150', RATE_LIMIT_WINDOW: '6 seconds' }
  },
  stdio: ['ignore', 'pipe', 'inherit']
})
// The output closes when the last of the processes that share it has ended.
const ended = once(example, 'close')

/** The origins of Rowkeeper, of the Better Auth server and of the app, in the order in which `npm start` tells them. */
const origins = new Promise<[string, string, string]>((resolve, reject) => {
  const found: string[] = []
  createInterface(example.stdout).on('line', (line) => {
    const [url] = /http:\S+/.exec(line) ?? []
    if (url !== undefined && found.push(new URL(url).origin) === 3) resolve(found as [string, string, string])
  })
  ended.then(() => reject(new Error('The example has ended')))
})

const checkbox = (page: Page, title: string) => page.getByRole('checkbox', { name: title })
const saved = (page: Page, title: string) => page.locator('.task:not([aria-busy=true])', { hasText: title }).waitFor()
const gone = (page: Page, title: string) => checkbox(page, title).waitFor({ state: 'detached' })
const said = (page: Page, text: string | RegExp) => page.getByRole('status').getByText(text).waitFor()

/** Waits until these are the titles, in this order. */
async function shows(page: Page, titles: string[], selector = '.title') {
  const giveUp = Date.now() + 10_000
  for (let shown: string[] = []; ; await page.waitForTimeout(50)) {
    shown = await page.locator(selector).allTextContents()
    if (shown.join('\n') === titles.join('\n')) return
    if (Date.now() > giveUp) assert.deepEqual(shown, titles)
  }
}

async function add(page: Page, title: string) {
  await page.getByLabel('New task').fill(title)
  await page.getByLabel('New task').press('Enter')
  await checkbox(page, title).waitFor()
}

async function edit(page: Page, title: string, fields: Record<string, string>) {
  await page.getByRole('button', { name: `Edit ${title}` }).click()
  for (const [label, value] of Object.entries(fields)) await page.getByLabel(label, { exact: true }).fill(value)
}

const save = (page: Page) => page.getByRole('button', { name: 'Save' }).click()
const dialogClosed = (page: Page) => page.getByRole('dialog').waitFor({ state: 'detached' })

async function picture(page: Page, name: string) {
  const hidden = await page.evaluate('document.documentElement.scrollWidth - document.documentElement.clientWidth')
  assert.equal(hidden, 0, `${name}: nothing is cut off at the side`)
  await page.screenshot({ path: `${PICTURES}/${name}.png` })
}

mkdirSync(PICTURES, { recursive: true })
const browser = await launch()
try {
  const [api, auth, web] = await origins
  assert.equal(new Set([api, auth, web]).size, 3)
  const context = await browser.newContext({ viewport: DESKTOP, locale: 'en-GB', timezoneId: 'Europe/Zurich' })
  context.setDefaultTimeout(15_000)
  const complaints: string[] = []
  context.on('weberror', (error) => complaints.push(error.error().message))
  context.on('console', (message) => {
    // The browser itself reports each answer that is an error, and some are meant to be.
    if (message.type() === 'error' && !message.text().startsWith('Failed to load resource'))
      complaints.push(message.text())
  })
  const token = async () =>
    ((await (await context.request.get(`${auth}/api/auth/token`)).json()) as { token: string }).token

  const page = await context.newPage()
  let fetched = 0
  page.on('request', (request) => {
    if (request.url() === `${auth}/api/auth/token`) fetched++
  })
  /** Sends the next change with a token that has expired by then. */
  const spoilToken = (expired: string) =>
    page.route(
      TASK,
      (route) => route.continue({ headers: { ...route.request().headers(), authorization: `Bearer ${expired}` } }),
      { times: 1 }
    )
  const streams = (page: Page) => {
    const seen: string[] = []
    page.on('request', (request) => new URL(request.url()).pathname === '/api/events' && seen.push(request.method()))
    return seen
  }

  // Signing up
  await page.goto(web)
  await page.getByLabel('E-mail').fill('ada@example.com')
  await page.getByLabel('Password').fill('correct horse')
  await page.getByRole('button', { name: 'Sign in', exact: true }).click()
  await page.getByRole('alert').getByText('Invalid email or password').waitFor()
  await picture(page, 'sign-in')
  await page.getByRole('button', { name: 'Create an account' }).click()
  await page.getByLabel('Name').fill('Ada Lovelace')
  await page.getByLabel('E-mail').fill('ada@example.com')
  await page.getByLabel('Password').fill('correct horse')
  await page.getByRole('button', { name: 'Sign up' }).click()
  await page.getByRole('heading', { name: 'Nothing to do' }).waitFor()
  const early = await token()
  await picture(page, 'empty')

  // Adding, editing, completing, and all of it is still there afterwards
  const titles = ['Call the plumber', 'Water the plants', 'Renew the passport', 'Book the train to Lugano', 'Buy milk']
  for (const title of titles) await add(page, title)
  await edit(page, 'Buy milk', { Description: 'Two litres, semi-skimmed', Due: '2030-01-31T10:00' })
  await picture(page, 'edit')
  await save(page)
  await dialogClosed(page)
  await edit(page, 'Renew the passport', { Due: '2026-01-31T10:00' })
  await save(page)
  await dialogClosed(page)
  await checkbox(page, 'Water the plants').focus()
  await page.keyboard.press('Space')
  await saved(page, 'Water the plants')
  await page.reload()
  await checkbox(page, 'Buy milk').waitFor()
  assert.deepEqual(await page.locator('.title').allTextContents(), titles.toReversed())
  assert.ok(await checkbox(page, 'Water the plants').isChecked())
  await page.getByText('Two litres, semi-skimmed').waitFor()
  await page.getByText('Due 31 Jan 2030').waitFor()
  await picture(page, 'tasks')

  // A second window, on a phone: each sees what the other does
  const phone = await context.newPage()
  const streamsOfPhone = streams(phone)
  await phone.setViewportSize(PHONE)
  await phone.goto(web)
  await checkbox(phone, 'Buy milk').waitFor()
  await picture(phone, 'tasks-phone')
  await add(phone, 'Pick up the parcel')
  await saved(page, 'Pick up the parcel')
  await checkbox(page, 'Pick up the parcel').check({ force: true })
  await phone.locator('.task.completed', { hasText: 'Pick up the parcel' }).waitFor()
  await page.getByRole('button', { name: 'Delete Pick up the parcel' }).click()
  await gone(phone, 'Pick up the parcel')
  assert.equal(await page.locator(':focus').getAttribute('aria-label'), 'New task')
  assert.deepEqual(streamsOfPhone, [], 'the windows share the stream of the first')

  // Deleting can be undone: it is back at its place, in the other window too
  await page.getByRole('button', { name: 'Delete Renew the passport' }).click()
  await gone(phone, 'Renew the passport')
  await said(page, '“Renew the passport” was deleted.')
  await picture(page, 'undo')
  await page.getByRole('button', { name: 'Undo' }).last().click()
  for (const window of [page, phone]) await shows(window, titles.toReversed())
  await page.getByText('Overdue 31 Jan').waitFor()
  await phone.getByRole('button', { name: 'Delete Call the plumber' }).click()
  await gone(page, 'Call the plumber')
  await said(phone, '“Call the plumber” was deleted.')
  await picture(phone, 'undo-phone')
  await phone.getByRole('button', { name: 'Undo' }).click()
  for (const window of [page, phone]) await shows(window, titles.toReversed())

  // Searching, filtering and sorting; what another window changes moves in and out
  let searches = 0
  page.on('request', (request) => {
    if (new URL(request.url()).searchParams.has('q')) searches++
  })
  await page.getByLabel('Search tasks').pressSequentially('MILK', { delay: 20 })
  await shows(page, ['Buy milk'])
  assert.ok(searches <= 2, 'not each key is a request')
  await picture(page, 'search')
  await page.getByLabel('Search tasks').fill('no such thing')
  await page.getByRole('heading', { name: 'Nothing found' }).waitFor()
  await picture(page, 'search-nothing')
  await page.getByRole('button', { name: 'Show all' }).click()
  await shows(page, titles.toReversed())
  await page.getByLabel('Sort by').selectOption('title')
  await shows(page, titles.toSorted())
  await page.getByLabel('Sort by').selectOption('dueAt')
  await shows(page, ['Renew the passport', 'Buy milk', ...titles.filter((title) => !/Renew|milk/.test(title))])
  await page.getByLabel('Open', { exact: true }).check({ force: true })
  const open = ['Renew the passport', 'Buy milk', 'Call the plumber', 'Book the train to Lugano']
  await shows(page, open)
  await picture(page, 'filter')
  await checkbox(phone, 'Water the plants').uncheck({ force: true })
  await shows(page, [...open.slice(0, 3), 'Water the plants', ...open.slice(3)])
  await checkbox(phone, 'Water the plants').check({ force: true })
  await shows(page, open)
  await page.getByLabel('Done', { exact: true }).check({ force: true })
  await shows(page, ['Water the plants'])
  await add(page, 'Ring the bell')
  await page.getByRole('button', { name: 'Delete Ring the bell' }).click()
  await page.getByLabel('Sort by').selectOption('-createdAt')
  await shows(page, titles.toReversed())

  // Another resource, on a page of its own
  await page.getByRole('link', { name: 'Notes' }).click()
  await page.getByRole('heading', { name: 'No notes yet' }).waitFor()
  await phone.getByRole('link', { name: 'Notes' }).click()
  await phone.getByRole('heading', { name: 'No notes yet' }).waitFor()
  await picture(phone, 'notes-empty-phone')
  for (const text of NOTES) {
    await page.getByLabel('New note').fill(text)
    await page.getByRole('button', { name: 'Add' }).click()
    await page.locator('.note:not([aria-busy=true])', { hasText: text.slice(0, 20) }).waitFor()
  }
  await shows(phone, NOTES.toReversed(), '.note p')
  await page.getByRole('button', { name: 'Pin The wifi' }).click()
  await phone.getByRole('heading', { name: 'Pinned' }).waitFor()
  const [first = '', ...others] = NOTES
  for (const window of [page, phone]) await shows(window, [first, ...others.toReversed()], '.note p')
  await phone.locator('.pin[aria-pressed=true]').waitFor()
  await picture(page, 'notes')
  await picture(phone, 'notes-phone')
  await phone.getByRole('button', { name: 'Delete Books to read' }).click()
  await shows(page, [first, ...others.toReversed().filter((text) => !text.startsWith('Books'))], '.note p')
  await phone.getByRole('button', { name: 'Undo' }).click()
  await page.locator('.note', { hasText: 'Books to read' }).waitFor()
  // Who edits a text and who pins the note do not disturb each other; two who edit the text do
  await phone.getByRole('button', { name: 'Edit Ask Ines' }).click()
  await phone.getByRole('dialog').getByLabel('Note', { exact: true }).fill('Ask Ines about the old piano')
  await picture(phone, 'note-edit-phone')
  await page.getByRole('button', { name: 'Pin Frame size' }).click()
  await page.getByRole('button', { name: 'Edit Frame size' }).click()
  await page.getByRole('dialog').getByLabel('Note', { exact: true }).fill('Frame size of the bicycle: 58 cm')
  await phone.getByRole('button', { name: 'Save' }).click()
  await page.locator('.note p', { hasText: 'the old piano' }).waitFor()
  await phone.getByRole('button', { name: 'Edit Frame size' }).click()
  await phone.getByRole('button', { name: 'Cancel' }).click()
  await phone.getByRole('button', { name: 'Pin Frame size' }).click()
  await page.getByRole('button', { name: 'Save' }).click()
  await phone.locator('.note p', { hasText: '58 cm' }).waitFor()
  await page.getByRole('button', { name: 'Edit Frame size' }).click()
  await page.getByRole('dialog').getByLabel('Note', { exact: true }).fill('Frame size of the bicycle: 60 cm')
  await phone.getByRole('button', { name: 'Edit Frame size' }).click()
  await phone.getByRole('dialog').getByLabel('Note', { exact: true }).fill('Frame size of the bicycle: 59 cm')
  await phone.getByRole('button', { name: 'Save' }).click()
  await phone.locator('.note p', { hasText: '59 cm' }).waitFor()
  await page.getByRole('button', { name: 'Save' }).click()
  await page.getByRole('alert').getByText('Changed elsewhere, to “Frame size of the bicycle: 59 cm”.').waitFor()
  await picture(page, 'note-conflict')
  await page.getByRole('button', { name: 'Save' }).click()
  await phone.locator('.note p', { hasText: '60 cm' }).waitFor()
  await page.getByLabel('Search notes').fill('basil')
  await shows(
    page,
    NOTES.filter((text) => text.startsWith('Basil')),
    '.note p'
  )
  await page.goBack()
  await shows(page, titles.toReversed())
  await phone.getByRole('link', { name: 'Tasks' }).click()
  await shows(phone, titles.toReversed())

  // Two users edit one task (412): nothing is lost, whichever version is kept
  await edit(page, 'Buy milk', { Title: 'Buy oat milk' })
  await edit(phone, 'Buy milk', { Title: 'Buy milk and bread' })
  await picture(phone, 'edit-phone')
  await save(phone)
  await dialogClosed(phone)
  await save(page)
  await page.getByRole('heading', { name: 'Changed elsewhere' }).waitFor()
  await picture(page, 'conflict')
  await page.getByRole('button', { name: 'Keep mine' }).click()
  await dialogClosed(page)
  await saved(phone, 'Buy oat milk')
  await edit(phone, 'Buy oat milk', { Title: 'Buy soy milk' })
  await edit(page, 'Buy oat milk', { Title: 'Buy almond milk' })
  await save(page)
  await dialogClosed(page)
  await save(phone)
  await phone.getByRole('heading', { name: 'Changed elsewhere' }).waitFor()
  await picture(phone, 'conflict-phone')
  await phone.getByRole('button', { name: 'Take theirs' }).click()
  await dialogClosed(phone)
  await saved(phone, 'Buy almond milk')

  // A change that cannot be saved is reverted
  await page.route(TASK, (route) => route.abort(), { times: 1 })
  await checkbox(page, 'Call the plumber').check({ force: true })
  await said(page, /was not changed: the server cannot be reached/)
  assert.equal(await checkbox(page, 'Call the plumber').isChecked(), false)

  // A token that expires, and one that is refused: a new one is fetched, once, and nobody notices
  await page.waitForRequest(`${auth}/api/auth/token`)
  await add(phone, 'Sing in the rain')
  await saved(page, 'Sing in the rain')
  const before = fetched
  await spoilToken(early)
  const refused = page.waitForResponse(
    (response) => response.request().method() === 'PATCH' && response.status() === 401
  )
  const accepted = page.waitForResponse((response) => response.request().method() === 'PATCH' && response.ok())
  await checkbox(page, 'Call the plumber').check({ force: true })
  await refused
  await accepted
  assert.equal(fetched, before + 1)

  // Pages
  const create = Array.from({ length: 45 }, (_, index) => ({ title: `Thank you letter ${45 - index}` }))
  const authorization = `Bearer ${await token()}`
  const made = await context.request.post(`${api}/api/tasks/batch`, { headers: { authorization }, data: { create } })
  assert.equal(made.status(), 200)
  await page.reload()
  const more = page.getByRole('button', { name: 'Load more' })
  for (const count of [20, 40, 51]) {
    await page
      .locator('.task:not(.skeleton)')
      .nth(count - 1)
      .waitFor()
    assert.equal(await page.locator('.task:not(.skeleton)').count(), count)
    if (count === 20) await picture(page, 'pages')
    if (count < 51) await more.click()
  }
  await more.waitFor({ state: 'detached' })

  // More than the limit allows (429): it says so, waits as long as it is told, and goes on
  const giveUp = Date.now() + 20_000
  // A window that is about to end would be over before it is seen; of too many at once the service sheds some,
  // uncounted.
  for (let wait = 0; wait < 4; ) {
    assert.ok(Date.now() < giveUp, 'the budget can be used up')
    const headers = { authorization: `Bearer ${await token()}` }
    const answers = await Promise.all(Array.from({ length: 25 }, () => fetch(`${api}/api/tasks?limit=1`, { headers })))
    wait = Math.max(...answers.map(({ status, headers }) => (status === 429 ? Number(headers.get('retry-after')) : 0)))
  }
  await phone.evaluate('scrollTo(0, 0)')
  await add(phone, 'Slow down')
  await said(phone, /^Too much at once. Going on in [1-9] s$/)
  await picture(phone, 'too-many-phone')
  await saved(phone, 'Slow down')
  await saved(page, 'Slow down')

  // Dark mode, and back
  await page.emulateMedia({ colorScheme: 'dark' })
  await phone.emulateMedia({ colorScheme: 'dark' })
  await page.evaluate('scrollTo(0, 0)')
  await picture(page, 'tasks-dark')
  await page.getByRole('button', { name: 'Delete Buy almond milk' }).click()
  await said(page, '“Buy almond milk” was deleted.')
  await picture(page, 'undo-dark')
  await page.getByRole('button', { name: 'Undo' }).click()
  for (const window of [page, phone]) {
    await window.getByRole('link', { name: 'Notes' }).click()
    await window
      .locator('.note')
      .nth(NOTES.length - 1)
      .waitFor()
  }
  await picture(page, 'notes-dark')
  await picture(phone, 'notes-dark-phone')
  for (const window of [page, phone]) {
    await window.getByRole('link', { name: 'Tasks' }).click()
    await checkbox(window, 'Slow down').waitFor()
  }
  await picture(phone, 'tasks-dark-phone')
  await edit(phone, 'Slow down', { Description: 'One thing after the other' })
  await picture(phone, 'edit-dark-phone')
  await phone.keyboard.press('Escape')
  await dialogClosed(phone)
  await page.getByRole('button', { name: 'Sign out' }).click()
  await page.getByLabel('E-mail').fill('ada@example.com')
  await phone.getByLabel('E-mail').waitFor()
  await picture(phone, 'sign-in-dark-phone')
  await page.getByLabel('Password').fill('correct horse')
  await page.route(`${auth}/api/auth/sign-in/email`, (route) => route.abort(), { times: 1 })
  await page.getByLabel('Password').press('Enter')
  await page.getByRole('alert').getByText('The sign-in server cannot be reached').waitFor()
  await page.getByLabel('Password').press('Enter')
  await saved(page, 'Slow down')

  // An expired session
  await context.clearCookies()
  await spoilToken(early)
  await checkbox(page, 'Slow down').check({ force: true })
  await page.getByRole('heading', { name: 'Welcome back' }).waitFor()

  assert.deepEqual(complaints, [], 'nothing in the console')
  console.log(`The app of examples/spa does what a person would expect; pictures are in ${PICTURES}.`)
} finally {
  await browser.close()
  example.kill()
  await ended
}

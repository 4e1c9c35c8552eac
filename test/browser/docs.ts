// Uses the documentation page as a person would, in Chromium, against `npm start` on port 3000: pastes a token, makes a
// call, reads the answer. `CHROMIUM` is the browser's path, `SCREENSHOT` where a picture of the page goes, if anywhere.
import assert from 'node:assert/strict'
import { developmentToken } from '../../src/auth/development-token.ts'
import { loadConfig } from '../../src/config/config.ts'
import { launch } from './chromium.ts'

const browser = await launch()
try {
  const page = await browser.newPage({ viewport: { width: 1200, height: 1400 } })
  const complaints: string[] = []
  page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()))
  page.on('pageerror', (error) => complaints.push(error.message))
  await page.goto('http://127.0.0.1:3000/')
  assert.equal(new URL(page.url()).pathname.replace(/\/$/, ''), '/docs')
  await page.getByRole('heading', { name: /Rowkeeper/ }).waitFor()

  await page.getByRole('button', { name: 'Authorize' }).first().click()
  await page.getByLabel('auth-bearer-value').fill(await developmentToken(loadConfig(), 'browser'))
  await page.locator('.auth-btn-wrapper').getByRole('button', { name: 'Apply credentials' }).click()
  await page.locator('.auth-btn-wrapper').getByRole('button', { name: 'Close' }).click()

  const create = page.locator('#operations-tasks-createTask')
  await create.locator('.opblock-summary').click()
  await create.locator('textarea').fill('{"title":"From the documentation page"}')
  await create.getByRole('button', { name: 'Execute' }).click()
  const answer = create.locator('.live-responses-table .response').first()
  await answer.waitFor()
  assert.equal(
    String(await answer.locator('.response-col_status').textContent())
      .trim()
      .split(/\s/)[0],
    '201'
  )
  assert.match(String(await answer.textContent()), /From the documentation page/)
  assert.deepEqual(complaints, [], 'the page works without an error in the console')
  if (process.env.SCREENSHOT) await page.screenshot({ path: process.env.SCREENSHOT })
  console.log('The documentation page takes a token and makes a call.')
} finally {
  await browser.close()
}

-- Prepares the database of Rowkeeper for Citus. Run it on the coordinator after each migration, as the owner of the
-- tables, while no instance of the service runs:
--
--   psql "$DATABASE_URL" --set ON_ERROR_STOP=1 --file docs/citus.sql
--
-- It may run again at any time. Without Citus it installs the functions and the triggers only. docs/running.md says what
-- it is for.

-- Citus allows triggers on distributed tables, and passes `set local` on to the workers, only when it is told to.
do $$
declare
  role_name name;
begin
  if exists (select from pg_extension where extname = 'citus') then
    execute format('alter role %I set citus.enable_unsafe_triggers = on', current_user);
    perform set_config('citus.enable_unsafe_triggers', 'on', false);
    -- All that follows is one change of all shards of a table at a time.
    perform set_config('citus.multi_shard_modify_mode', 'sequential', false);
    -- The owner of the tables, and the roles that the service may connect as.
    for role_name in
      select distinct rolname from pg_class
        cross join lateral aclexplode(coalesce(relacl, acldefault('r', relowner))) granted
        join pg_roles on pg_roles.oid in (granted.grantee, relowner)
        where pg_class.oid = 'feeds'::regclass and rolcanlogin
    loop
      execute format('alter role %I set citus.propagate_set_commands = ''local''', role_name);
    end loop;
  end if;
end $$;

-- Names the owner to row-level security until the transaction ends. Citus passes `set local` on, but not `set_config`.
create or replace function rowkeeper_name_owner(owner text) returns void language plpgsql as $$
begin
  execute format('set local rowkeeper.owner = %L', owner);
end $$;

-- Records a change where the row is. Its argument is the name of the table, because a shard has a name of its own.
create or replace function rowkeeper_record_change() returns trigger language plpgsql as $$
begin
  if tg_op = 'INSERT' then
    perform record_change(new.user_id, tg_argv[0], new.id, new.version, 'created');
  elsif tg_op = 'UPDATE' then
    perform record_change(new.user_id, tg_argv[0], new.id, new.version, 'updated');
  else
    perform record_change(old.user_id, tg_argv[0], old.id, old.version, 'deleted');
  end if;
  return null;
end $$;

-- A feed that is marked gets the number of the transaction on the node that has it. The coordinator numbers its own.
-- The two limits have a meaning of their own (src/changes/feed.ts).
create or replace function rowkeeper_mark_feed() returns trigger language plpgsql as $$
begin
  if old.started_by = '18446744073709551615' and new.started_by not in ('0', '18446744073709551615') then
    new.started_by = pg_current_xact_id();
  end if;
  return new;
end $$;

-- The tables whose rows belong to users have a policy that bears their name. Citus places the rows of a user together,
-- after the tables that they refer to.
do $$
declare
  one record;
begin
  if not exists (select from pg_extension where extname = 'citus') then
    return;
  end if;
  loop
    select owned.oid::regclass as name, placed.logicalrelid as beside into one
      from pg_policy join pg_class owned on owned.oid = polrelid and polname = relname || '_owner'
        left join lateral (
          select logicalrelid from pg_dist_partition
            join pg_policy other on other.polrelid = logicalrelid
            join pg_class on pg_class.oid = logicalrelid and other.polname = relname || '_owner'
            order by relname limit 1
        ) placed on true
      where not exists (select from pg_dist_partition where logicalrelid = owned.oid)
        and not exists (
          select from pg_constraint where contype = 'f' and conrelid = owned.oid and confrelid <> owned.oid
            and not exists (select from pg_dist_partition where logicalrelid = confrelid)
        )
      order by owned.relname limit 1;
    exit when not found;
    perform create_distributed_table(one.name, 'user_id', colocate_with => coalesce(one.beside::text, 'none'));
  end loop;
  -- Every node reads it, to find out whether the schema fits the service.
  for one in
    select record.oid::regclass as name from pg_class record
      where record.oid = any ('{drizzle.rowkeeper_migrations,drizzle.rowkeeper_system_migrations}'::regclass[])
        and not exists (select from pg_dist_partition where logicalrelid = record.oid)
      order by relname
  loop
    perform create_reference_table(one.name);
  end loop;
  perform create_distributed_function(one_function) from unnest(array[
    'record_change(text, text, uuid, integer, text)', 'rowkeeper_name_owner(text)', 'rowkeeper_record_change()',
    'rowkeeper_mark_feed()'
  ]::regprocedure[]) one_function;
end $$;

-- The service looks for these triggers by their names, `<table>_rowkeeper`, and then records nothing itself.
do $$
declare
  one record;
  create_trigger text;
begin
  for one in
    select owned.oid::regclass as name, relname
      from pg_policy join pg_class owned on owned.oid = polrelid and polname = relname || '_owner'
      where (
        relname = 'feeds' or relname <> 'changes' and
          (select count(*) from pg_attribute where attrelid = owned.oid and attname in ('id', 'version')) = 2
      ) and not exists (select from pg_trigger where tgrelid = owned.oid and tgname = relname || '_rowkeeper')
  loop
    create_trigger = case when one.relname = 'feeds'
      then 'create trigger %1$I before update of started_by on %2$s for each row execute function rowkeeper_mark_feed()'
      else 'create trigger %1$I after insert or update or delete on %2$s for each row
        execute function rowkeeper_record_change(%3$L)' end;
    execute format(create_trigger, one.relname || '_rowkeeper', one.name, one.relname);
  end loop;
end $$;

-- Tells of every pack whose answer a statement changes, whoever writes it. Triggers of one connection, on no disk.
CREATE TEMP TRIGGER pack_declared AFTER UPDATE ON packs
WHEN (OLD.ref, OLD.spec, OLD.origin, OLD.generation) IS NOT (NEW.ref, NEW.spec, NEW.origin, NEW.generation)
BEGIN SELECT envstore_changed(OLD.ref), envstore_changed(NEW.ref); END;

CREATE TEMP TRIGGER pack_removed AFTER DELETE ON packs
BEGIN SELECT envstore_changed(OLD.ref); END;

CREATE TEMP TRIGGER binding_changed AFTER UPDATE ON bindings
BEGIN SELECT envstore_changed(ref) FROM packs WHERE id = NEW.pack AND generation IN (OLD.generation, NEW.generation); END;

CREATE TEMP TRIGGER binding_removed AFTER DELETE ON bindings
BEGIN SELECT envstore_changed(ref) FROM packs WHERE id = OLD.pack AND generation = OLD.generation; END;

-- Condemning and sweeping find no current binding, and so tell nothing.
CREATE TEMP TRIGGER env_changed AFTER UPDATE OF state, name, key, interpreter ON envs
WHEN (OLD.state, OLD.name, OLD.key, OLD.interpreter) IS NOT (NEW.state, NEW.name, NEW.key, NEW.interpreter)
BEGIN
  SELECT envstore_changed(p.ref) FROM bindings b JOIN packs p ON p.id = b.pack AND p.generation = b.generation
  WHERE b.env = NEW.id;
END;
